"""The page for the browser: found, built where it is not, and served."""
