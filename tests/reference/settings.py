"""The one row of bagelpay.settings."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """What a merchant can set, with the defaults of §7.

    grace and default_period are calendar intervals: triples of (months, days, seconds), applied in
    that order.  provider_timezone is a name zoneinfo knows.  unknown_refund is `full` or `partial`,
    on_cancel is `end_now` or `keep_paid_time`.  order_key and user_key are sequences of paths below
    `object`.  notify changes no row.
    """

    order_key: tuple = ("metadata.order_id", "metadata.orderId")
    user_key: tuple = ("metadata.user_id", "metadata.userId")
    provider_timezone: str = "UTC"
    grace: tuple = (0, 1, 0)
    default_period: tuple = (0, 31, 0)
    revoke_on_dispute: bool = True
    unknown_refund: str = "full"
    on_cancel: str = "end_now"
    require_expected_order: bool = False
    notify: bool = True
