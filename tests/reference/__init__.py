"""A reference for what bagelhook means, in plain Python.

It is written from the specification alone and shares nothing with the responder or its SQL, so that
the two can be compared on random histories.  It is meant to be read, not to be fast.

    event  = extract.parse(body)                        bytes -> Event, or Invalid        (§4)
    keys   = key.assign(events, settings)               events -> order_id, key_source    (§5)
    states = fold.fold(events, settings)                events -> state of every order    (§6)
    rows   = entitle.entitlements_at(states, expected, settings, t, mode, periods)        (§7)
    rows   = checks.order_checks(states, expected, settings)                              (§8)

strictjson, times, intervals and readers are what extract needs; purchases, subscriptions, refunds and
items are parts of the fold; windows is what entitle needs.
"""
