"""What each dialect makes of each feature of a request, and the page that tells it."""
