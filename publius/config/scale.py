"""Settings of the workers that do a run's stages in other processes."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from core.settings import Section

Resource = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class ScaleConfig(Section):
    """Where the data stages of a run are done. Records, ids and seeds do not depend on it."""

    kind: Literal["local", "ray"] = "local"
    """`local`: in this process. `ray`: by workers on a Ray cluster, each with engines of its own (extra
    `ray`); training and evaluation stay in this process."""
    address: str | None = Field(default=None, min_length=1)
    """Address of a Ray cluster: `auto` for the one of this machine, or `host:port`. Not set: that of the
    variable RAY_ADDRESS, which `ray job submit` sets, or else a cluster on this machine that ends with the
    command."""
    workers: int = Field(default=2, ge=1)
    """Number of workers."""
    cpus: Resource = 1.0
    """CPUs that Ray reserves for each worker."""
    gpus: Resource | None = None
    """GPUs of each worker, which it alone sees. Not set: one if the cluster has GPUs and an engine of the run
    uses them, else none."""
    resources: dict[str, Resource] = Field(default={})
    """Further resources that Ray reserves for each worker, by the names that the cluster gives them."""
    in_progress: int | None = Field(default=None, ge=1)
    """Maximum number of prompts or comparisons in progress at each worker; the rest waits in the run folder.
    Not set: as many conversations as the engine takes."""
    wait_s: float = Field(default=600.0, gt=0.0)
    """Seconds to wait for the cluster to have room for the workers."""
    restarts: int = Field(default=3, ge=0)
    """Times that a worker that ends is replaced before it has finished anything again; then the run stops."""

    @model_validator(mode="after")
    def _has_a_plain_address(self) -> Self:
        if self.address is not None and self.address.startswith("ray://"):
            raise ValueError(
                "address is that of a Ray client (ray://); accepted: host:port or auto on a machine of the "
                "cluster, or ray job submit"
            )
        return self
