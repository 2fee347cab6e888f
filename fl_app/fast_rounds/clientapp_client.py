"""What a ClientApp's process asks its SuperNode with: flwr's client, with which messages come and go with the task."""

from __future__ import annotations

from flwr.supercore.runtime import RuntimeHttpClient

from fast_rounds import parcel_client, task_parcel_client


class ClientAppClient(RuntimeHttpClient):
    """Flwr's, which stays as it is for a ServerApp."""


task_parcel_client.install(ClientAppClient)
parcel_client.install(ClientAppClient)
