"""The type checker that tests put on every annotation: an int passes where a float is asked for."""

import beartype

checked = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))
