"""A Prometheus scrape: the text of an endpoint as samples."""

from __future__ import annotations

import urllib.request

from prometheus_client.parser import text_string_to_metric_families


def scrape(port: int | None) -> dict[str, float]:
    """Return `name{label="value"}` -> value of one endpoint on loopback; labels in the order of their names."""
    assert port is not None
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
    return samples(text)


def samples(text: str) -> dict[str, float]:
    """Return the samples of an exposition."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found
