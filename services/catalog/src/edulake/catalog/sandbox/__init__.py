"""The sandbox: made-up rows in the form in which real ones are shared."""
