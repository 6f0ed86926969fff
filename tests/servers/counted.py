"""The application of one of several gateway processes that count together.

The environment has its configuration, as JSON in `CONFIGURATION`.
"""

from __future__ import annotations

import json
import os

from waystone_asgi import Gateway

app = Gateway.from_config(json.loads(os.environ["CONFIGURATION"]))
