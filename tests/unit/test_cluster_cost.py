"""A host of its own pays nothing for what several hosts need."""

import subprocess
import sys


def test_a_daemon_of_a_single_host_loads_nothing_of_the_clusters_store() -> None:
    told = "import sys, bascule.daemon; print(*sorted(m for m in sys.modules if 'cluster' in m or 'etcd' in m))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        "bascule.api.routes.cluster",
        "bascule.api.shapes.cluster",
        "bascule.api.shapes.cluster_answer",
        "bascule.cluster",
        "bascule.cluster.gate",
        "bascule.cluster.home",
        "bascule.engine.cluster",
        "bascule.model.cluster",
    ]
