"""A gateway that posts its records too: `python -m tests.servers.serve NAME FD` this module.

The environment has its configuration, as JSON in `CONFIGURATION`, and the receiver in `WEBHOOK`.
"""

from __future__ import annotations

import json
import os

from waystone_asgi import Gateway
from waystone_asgi.sinks import Spool, WebhookSink

from .receiver import SECRET

webhook = Spool(WebhookSink(os.environ["WEBHOOK"], SECRET), os.environ["WEBHOOK_SPOOL"])
app = Gateway.from_config(json.loads(os.environ["CONFIGURATION"]), sinks=[webhook])
