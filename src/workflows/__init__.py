"""The workflows of this application."""
