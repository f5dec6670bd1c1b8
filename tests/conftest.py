"""What every test folder may use."""

import signal

pytest_plugins = ["tests.servers.minio", "tests.servers.kubernetes"]

# A shell starts what it puts into the background with SIGINT ignored; what is tested is a program that hears Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
