import subprocess
import sys

import pytest

from napari_restore import networks

REST = {
    "unet": {"depth": (1, 1)},
    "rdunet": {"depth": (1, 1)},
    "residual_unet": {
        "depth": (1, 1),
        "channels_in": 1,
        "channels_out": 1,
        "blocks": 1,
        "fold": (1, 1),
        "rate": (1, 1),
    },
    "srcnn": {},
    "careamics_unet": {},
}


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_every_row_leads_to_a_network(name):
    network = networks.build(name, ndim=2, width=2, **REST[name])
    assert len(network.radius) == len(network.grid) == 2


def test_an_unknown_network_is_named_with_those_there_are():
    with pytest.raises(ValueError, match="no network 'transformer'; there are unet"):
        networks.build("transformer")


def test_listing_names_loads_no_torch():
    code = "import sys, napari_restore.networks as n; assert n.NETWORKS; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
