"""What Docker's API v1.51 knows of a container to create, each field with a value that does harm."""

from typing import Any

CONTAINER_FIELDS: list[tuple[str, Any]] = [
    ("Hostname", "db"),
    ("Domainname", "vulsweb"),
    ("ExposedPorts", {"22/tcp": {}}),
    ("Entrypoint", ["sh"]),
    ("Volumes", {"/data": {}}),
    ("Healthcheck", {"Test": ["CMD", "true"]}),
    ("ArgsEscaped", True),
    ("MacAddress", "02:42:ac:11:00:02"),
    ("OnBuild", ["RUN true"]),
    ("StopSignal", "SIGKILL"),
    ("StopTimeout", 3600),
    ("Shell", ["sh"]),
    ("Runtime", "other"),
    ("Platform", "linux/arm64"),
    ("NetworkingConfig", {"EndpointsConfig": {"vulsweb_data": {}}}),
    ("Tty", True),
    ("OpenStdin", True),
    ("StdinOnce", True),
    ("AttachStdin", True),
    ("NetworkDisabled", True),
]
HOST_FIELDS: list[tuple[str, Any]] = [
    ("Binds", ["/:/host"]),
    ("ContainerIDFile", "/etc/cron.d/x"),
    ("PortBindings", {"22/tcp": [{"HostPort": "22"}]}),
    ("RestartPolicy", {"Name": "always"}),
    ("AutoRemove", True),
    ("VolumeDriver", "other"),
    ("VolumesFrom", ["vulsweb_web_1"]),
    ("ConsoleSize", [1, 1]),
    ("Annotations", {"run.oci.keep_original_groups": "1"}),
    ("CapAdd", ["SYS_ADMIN"]),
    ("CgroupnsMode", "host"),
    ("Capabilities", ["CAP_SYS_ADMIN"]),
    ("Dns", ["203.0.113.1"]),
    ("DnsOptions", ["ndots:1"]),
    ("DnsSearch", ["example.org"]),
    ("ExtraHosts", ["github.com:203.0.113.1"]),
    ("GroupAdd", ["0"]),
    ("IpcMode", "host"),
    ("Cgroup", "container:vulsweb_web_1"),
    ("Links", ["vulsweb_postgres_1:db"]),
    ("OomScoreAdj", -1000),
    ("PidMode", "host"),
    ("Privileged", True),
    ("PublishAllPorts", True),
    ("StorageOpt", {"size": "1G"}),
    ("UTSMode", "host"),
    ("UsernsMode", "host"),
    ("ShmSize", 2**40),
    ("Sysctls", {"net.ipv4.ip_forward": "1"}),
    ("Runtime", "other"),
    ("Isolation", "process"),
    ("CpuShares", 262144),
    ("CgroupParent", "/docker"),
    ("BlkioWeight", 1000),
    ("BlkioWeightDevice", [{"Path": "/dev/sda", "Weight": 1000}]),
    ("BlkioDeviceReadBps", [{"Path": "/dev/sda", "Rate": 1}]),
    ("CpuPeriod", 1000),
    ("CpuQuota", -1),
    ("CpuRealtimePeriod", 1),
    ("CpuRealtimeRuntime", 1),
    ("CpusetCpus", "0"),
    ("CpusetMems", "0"),
    ("Devices", [{"PathOnHost": "/dev/sda", "PathInContainer": "/dev/sda", "CgroupPermissions": "rwm"}]),
    ("DeviceCgroupRules", ["a *:* rwm"]),
    ("DeviceRequests", [{"Driver": "nvidia", "Count": -1}]),
    ("KernelMemory", -1),
    ("KernelMemoryTCP", -1),
    ("MemoryReservation", 2**40),
    ("MemorySwappiness", 100),
    ("OomKillDisable", True),
    ("Init", True),
    ("Ulimits", [{"Name": "nofile", "Soft": 2**20, "Hard": 2**20}]),
    ("CpuCount", 64),
    ("CpuPercent", 100),
    ("IOMaximumIOps", 1),
    ("IOMaximumBandwidth", 1),
    ("MaskedPaths", []),
    ("ReadonlyPaths", []),
    ("MaskedPaths", ["/none"]),
    ("ReadonlyPaths", ["/none"]),
]


def spellings(name: str) -> list[str]:
    """Return a name as JSON in the spellings that Docker, which is written in Go, takes for it.

    Go compares names without regard to case, and folds two more letters: U+017F to s and U+212A to k.
    """
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in name)
    folded = name.replace("s", "\u017f").replace("k", "\u212a")
    plain = dict.fromkeys(
        [name, name.lower(), name.upper(), folded, f"\\u{ord(name[0]):04X}{name[1:]}", escaped]
    )
    return [f'"{spelling}"' for spelling in plain]
