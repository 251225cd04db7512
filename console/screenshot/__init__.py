"""`python -m console.screenshot FILE.svg`: the overview on invented data, for the README and for looking at changes."""
