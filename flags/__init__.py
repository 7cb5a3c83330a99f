"""What is configured: projects, environments, flags, segments, revisions and their audit."""
