"""What ``workflow-engine init`` writes and ``upgrade`` renders anew: names, templates as package data, files.

Nothing of it is imported by a function, a worker or a test of workflows.
"""
