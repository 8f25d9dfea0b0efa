"""dlrun's plugins for Hydra; Hydra imports every module here at each start, so they must stay light."""
