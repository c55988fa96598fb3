"""A real world on one machine: registry, hub, SSH host, online engine and air-gapped nodes.

Nothing here is a mock. Each part is the program that users run, on directories, ports and sockets of
its own, so that it disturbs neither the machine's own services nor another checkout.
"""
