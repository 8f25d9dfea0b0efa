"""Pictures made with Pillow alone: contact sheets, and plots as PNG and SVG."""
