"""OpenTelemetry: a run as one trace, by the conventions for generative AI, where the caller's environment asks for it."""
