"""Devices: one resolution, never a silent replacement."""

from __future__ import annotations

import pytest

from protonqa import device as device_module
from protonqa.device import CudaDriver, resolve_device, usable_cores
from protonqa.errors import DeviceError


@pytest.fixture
def with_gpu(monkeypatch):
    """A computer whose CUDA driver answers with one device."""
    monkeypatch.setattr(device_module, "cuda_driver", lambda: CudaDriver(devices=("Test GPU",), version="12.4"))


def test_cpu_is_named_after_the_processor():
    device = resolve_device("cpu")
    assert device.kind == "cpu"
    assert device.requested == "cpu"
    assert str(usable_cores()) in device.label


def test_auto_without_a_driver_is_the_cpu_and_says_why(monkeypatch):
    monkeypatch.setattr(device_module, "cuda_driver", lambda: CudaDriver(reason="no CUDA driver on this computer"))
    device = resolve_device("auto")
    assert (device.kind, device.note) == ("cpu", "no CUDA driver on this computer")


def test_auto_takes_the_gpu_where_torch_can_use_it(with_gpu, monkeypatch):
    monkeypatch.setattr(device_module, "torch_has_cuda", lambda: True)
    device = resolve_device("auto")
    assert (device.kind, device.label) == ("cuda", "Test GPU")


def test_a_driver_without_a_torch_for_it_does_not_count(with_gpu, monkeypatch):
    monkeypatch.setattr(device_module, "torch_has_cuda", lambda: False)
    device = resolve_device("auto")
    assert device.kind == "cpu"
    assert "torch" in device.note


def test_cuda_asked_for_and_absent_is_an_error_never_the_cpu(monkeypatch):
    monkeypatch.setattr(device_module, "cuda_driver", lambda: CudaDriver(reason="the CUDA driver finds no device"))
    with pytest.raises(DeviceError, match="finds no device") as caught:
        resolve_device("cuda")
    assert "--device cpu" in caught.value.remedy


def test_unknown_name_names_the_nearest():
    with pytest.raises(DeviceError, match="did you mean cuda"):
        resolve_device("cude")


@pytest.mark.parametrize(
    ("status", "count", "reason"), [(100, 0, "does not start"), (0, 0, "finds no device"), (0, 2, "")]
)
def test_driver_answers_are_understood(monkeypatch, status, count, reason):
    class Library:
        """The few calls of the CUDA driver that are made."""

        def cuInit(self, flags):
            return status

        def cuDeviceGetCount(self, pointer):
            pointer._obj.value = count
            return 0

        def cuDriverGetVersion(self, pointer):
            pointer._obj.value = 12040
            return 0

        def cuDeviceGet(self, pointer, index):
            pointer._obj.value = index
            return 0

        def cuDeviceGetName(self, text, length, handle):
            text.value = b"GPU " + str(handle.value).encode()
            return 0

    monkeypatch.setattr(device_module, "_load_cuda_library", Library)
    driver = device_module.cuda_driver.__wrapped__()
    assert reason in driver.reason
    if count:
        assert driver.devices == ("GPU 0", "GPU 1")
        assert driver.version == "12.4"
