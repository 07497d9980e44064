"""What a run tells about itself: the run document, the manifest, the report, the plan's picture and the tables."""
