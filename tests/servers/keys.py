"""What the host under test and its callers agree on."""

KEY = "wk_test"
IDENTIFY_KEY = "wk_identify_only"
UPSTREAM_KEY = "sk-canary-upstream"
KEEP_ALIVE_SECONDS = 0.5
MAX_BODY_BYTES = 64 * 1024
