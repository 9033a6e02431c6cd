"""Video files in and out, and the pictures they hold."""
