"""From a video's URL to a verified file in a team's own storage, with its metadata file beside it."""
