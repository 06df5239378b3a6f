"""Publishes a document as a web page: every way of waiting that the engine has, in one workflow."""
