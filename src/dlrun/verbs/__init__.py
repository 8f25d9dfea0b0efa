"""One module a verb; each has `main(arguments) -> exit status`. `train` is what no verb at all means."""
