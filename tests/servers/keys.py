"""What the host under test and its callers agree on."""

KEY = "wk_test"
IDENTIFY_KEY = "wk_identify_only"
UPSTREAM_KEY = "sk-canary-upstream"
MAX_BODY_BYTES = 64 * 1024
