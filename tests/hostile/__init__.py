"""Code that means harm, run through the real server."""
