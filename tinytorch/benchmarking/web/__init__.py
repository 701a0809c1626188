"""The boards as web pages: served with uploads, or exported as static files."""
