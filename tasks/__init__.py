"""One Prefect task per phase of the line: retries, time limit, names and tags; each body is one call into aurea."""
