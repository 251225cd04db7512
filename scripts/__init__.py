"""Programs that `make` and `.ci/run` use: bootstrap, stub generation, locks. No daemon imports them."""
