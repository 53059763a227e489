"""Tables of hostile requests: each row is a request and what has to become of it, by the specification.

Where a row says @NAME@, the test puts something of its own: @ID@ an id that no other row has; @BODY@ an honest event,
@LENGTH@ its length, @NOW@ the time, @SIGNATURE@ what the provider would sign, and more that the tables explain.
"""
