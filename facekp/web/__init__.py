"""The web page: location, build and server."""
