"""moto's server, one request at a time.

moto's usual server is threaded and not safe under concurrency: of concurrent transactions 5 to 12 % were answered
with 500, and an update was lost. Serialised, its transactions are as atomic as DynamoDB's.

Prints its URL when it listens; ends when its standard input is closed, so that it cannot outlive a killed parent.
"""

import logging
import sys
import threading
import warnings

with warnings.catch_warnings():
    # moto's dependencies warn of each other; nothing here can mend them.
    warnings.simplefilter("ignore")
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server


def main() -> None:
    """Serve on a free port until standard input ends."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
