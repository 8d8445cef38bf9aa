"""Commands that are more than a few lines, one module each; `keeper.cli` lists them all."""
