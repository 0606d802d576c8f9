"""The supervisor with PostgreSQL and Valkey only; prints their URLs as JSON."""

import json
import os
from contextlib import ExitStack

from vulsweb.local import settings
from vulsweb.local.folder import open_folder
from vulsweb.local.stack import say, start_servers, stopping_on_signals
from vulsweb.local.supervisor import Supervisor


def main() -> None:
    found = settings.read(os.environ)
    with open_folder(found.data_dir) as folder:
        supervisor = Supervisor(folder.logs, say, inherited=[folder.children_lock.fileno()])
        with stopping_on_signals(supervisor.request_stop), ExitStack() as cleanup:
            database_url, redis_url = start_servers(found, folder, supervisor, cleanup)
            say(json.dumps({"database": database_url, "redis": redis_url}))
            supervisor.watch()


if __name__ == "__main__":
    main()
