"""`python -m marketdata --config FILE --state DIR`."""

import sys

from marketdata.config import MarketdataConfig
from marketdata.shell import serve
from tradebot.runtime.identity import Role
from tradebot.runtime.service_main import run_service

if __name__ == "__main__":
    sys.exit(run_service(Role.MARKETDATA, MarketdataConfig, serve))
