"""A page on which a visitor plays with a trained run; see `__main__`."""
