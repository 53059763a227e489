#!/usr/bin/python3
"""Prints docs/schema.md, from the catalogue of a migrated database.

usage: scripts/schema.py [CONNINFO]

Without CONNINFO, the environment says which (PGHOST, ...). With the database of scripts/run:

    (set -a; . .run/env; scripts/schema.py) >docs/schema.md
"""

import re
import sys
import textwrap

import psycopg

HEAD = """# Schema

These are all objects of the schema `bagelpay`, which is the stable interface. The schema `bagelpay_internal` is not,
nor are the columns that are listed as internal: they may change with any version.

Each object says which [role](settings.md#roles) may use it. `bagelpay_app` and `bagelpay_console` may use what
`bagelpay_reader` may. `bagelpay_owner` may use everything. An argument in brackets may be left out.

[state.md](state.md) has the rules behind the rows, [recipes.md](recipes.md) has statements. `scripts/schema.py` makes
this page from the comments in the database, which psql shows with `\\d+` and `\\df+`.
"""

RELATIONS = """
    SELECT c.oid, c.relname, c.relkind::text, obj_description(c.oid, 'pg_class'),
        array(SELECT r FROM unnest(%(roles)s::text[]) AS r WHERE has_any_column_privilege(r, c.oid, 'SELECT')),
        array(SELECT r FROM unnest(%(roles)s::text[]) AS r WHERE has_table_privilege(r, c.oid, 'SELECT')),
        array(SELECT r FROM unnest(%(roles)s::text[]) AS r WHERE has_table_privilege(r, c.oid, 'INSERT'))
    FROM pg_class AS c
    WHERE c.relnamespace = 'bagelpay'::regnamespace AND c.relkind IN ('r', 'v')
    ORDER BY c.relname COLLATE "C" """

TYPES = """
    SELECT t.typrelid, t.typname, obj_description(t.oid, 'pg_type'),
        (SELECT pg_get_constraintdef(k.oid) FROM pg_constraint AS k WHERE k.contypid = t.oid)
    FROM pg_type AS t
    LEFT JOIN pg_class AS c ON c.oid = t.typrelid
    WHERE t.typnamespace = 'bagelpay'::regnamespace AND (t.typtype = 'd' OR c.relkind = 'c')
    ORDER BY t.typname COLLATE "C" """

COLUMNS = """
    SELECT a.attname, format_type(a.atttypid, a.atttypmod), col_description(a.attrelid, a.attnum),
        has_column_privilege('bagelpay_reader', a.attrelid, a.attnum, 'SELECT')
    FROM pg_attribute AS a
    WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum"""

FUNCTIONS = """
    SELECT f.oid, f.proname, f.prokind::text, obj_description(f.oid, 'pg_proc'), pg_get_function_result(f.oid),
        coalesce(f.proargnames, '{}'), coalesce(f.proargmodes::text[], array_fill('i'::text, ARRAY[f.pronargs::integer])),
        array(SELECT format_type(t, NULL) FROM unnest(coalesce(f.proallargtypes, f.proargtypes::oid[])) AS t),
        array(SELECT pg_get_function_arg_default(f.oid, n)
            FROM generate_series(1, coalesce(cardinality(f.proallargtypes), f.pronargs)) AS n),
        array(SELECT r FROM unnest(%(roles)s::text[]) AS r WHERE has_function_privilege(r, f.oid, 'EXECUTE'))
    FROM pg_proc AS f
    WHERE f.pronamespace = 'bagelpay'::regnamespace
    ORDER BY f.proname COLLATE "C", starts_with(obj_description(f.oid, 'pg_proc'), f.proname || '() for '), f.pronargs DESC,
        f.oid::regprocedure::text COLLATE "C" """

ROLES = ["bagelpay_ingest", "bagelpay_reader", "bagelpay_console", "bagelpay_app"]
READERS = ["bagelpay_console", "bagelpay_app"]
SHORT = {"timestamp with time zone": "timestamptz", "double precision": "float8"}


def who(roles, does):
    """A sentence on the roles that may do something, without those that may as readers; None if there is none."""
    named = [f"`{role}`" for role in roles if role not in READERS or "bagelpay_reader" not in roles]
    return f"{' and '.join(named)} may {does}." if named else None


def paragraph(*sentences):
    """Sentences as a paragraph, wrapped."""
    text = " ".join(one if one[-1] in ".…" else f"{one}." for one in sentences if one)
    return "\n".join(textwrap.wrap(text, 120, break_long_words=False, break_on_hyphens=False)) + "\n"


def typed(name):
    """A type as it is most often written, ours without the schema."""
    for long, short in SHORT.items():
        name = name.replace(long, short)
    return f"`{name.replace('bagelpay.', '')}`"


def table(head, rows):
    first, *others = [f"| {' | '.join(row)} |\n" for row in [head, *rows]]
    return f"{first}|{'---|' * len(head)}\n{''.join(others)}"


def columns(connection, relation):
    """The table of columns; the internal ones in a line of their own."""
    rows, internal = [], []
    for name, type_, comment, _ in connection.execute(COLUMNS, (relation,)):
        if comment.startswith("Internal: "):
            internal.append(f"`{name}`")
        else:
            rows.append([f"`{name}`", typed(type_), comment])
    text = table(["column", "type", "meaning"], rows)
    return text + (f"\n{paragraph('Internal: ' + ', '.join(internal))}" if internal else "")


def relation(connection, row):
    oid, name, kind, comment, readers, full_readers, writers = row
    hidden = [f"`{column}`" for column, _, _, reads in connection.execute(COLUMNS, (oid,)) if not reads]
    in_part = "bagelpay_reader" in readers and hidden
    return f"\n### {name}\n\n" + paragraph(
        "View" if kind == "v" else "Table", comment,
        who(readers, f"read it, except {', '.join(hidden)}" if in_part else "read it") or "Only `bagelpay_owner` may read it",
        who(full_readers, "read all of it") if in_part else None,
        who(writers, "write it")) + "\n" + columns(connection, oid)


def signature(name, names, modes, defaults):
    given = [f"[{argument}]" if default is not None else argument
             for argument, mode, default in zip(names, modes, defaults) if mode in "ib"]
    return f"{name}({', '.join(given)})"


def function(row, others):
    """A function, and the forms of it for other types of arguments."""
    _, name, kind, comment, result, names, modes, types, defaults, callers = row
    summary, *lines = comment.split("\n")
    meanings = dict(line.split(": ", 1) for line in lines)
    parts = [f"### {signature(name, names, modes, defaults)}\n", paragraph(
        summary, who(callers, "call it") or "Only `bagelpay_owner` may call it",
        "A procedure: use `CALL`" if kind == "p" else None)]
    defaults = [f"`{re.sub('::[a-z []+]*$', '', default)}`" if default else "" for default in defaults]
    arguments = [[f"`{argument}`", typed(type_), default, meanings[argument]]
                 for argument, mode, type_, default in zip(names, modes, types, defaults) if mode in "ib"]
    results = [[f"`{argument}`", typed(type_), meanings[argument]]
               for argument, mode, type_ in zip(names, modes, types) if mode in "ot"]
    if arguments:
        parts.append(table(["argument", "type", "default", "meaning"], arguments))
    if results:
        parts += [f"Returns {'rows' if 't' in modes else 'one row'}:\n", table(["column", "type", "meaning"], results)]
    elif kind == "f":
        of_rows = re.fullmatch(r"SETOF bagelpay\.(\w+)", result)
        parts.append(paragraph(f"Returns rows of [{of_rows[1]}](#{of_rows[1]})" if of_rows else f"Returns {typed(result)}"))
    if others:
        parts.append(paragraph("Other forms: " + "; ".join(
            " and ".join(f"`{argument} {typed(type_)[1:]}"
                         for argument, mine, type_ in zip(names, types, other[7]) if mine != type_)
            for other in others)))
    return "\n" + "\n".join(parts)


def page(connection):
    roles = {"roles": ROLES}
    relations = connection.execute(RELATIONS, roles).fetchall()
    functions = connection.execute(FUNCTIONS, roles).fetchall()
    types = connection.execute(TYPES).fetchall()
    text = HEAD + "\n## Tables and views\n" + "".join(relation(connection, row) for row in relations)
    text += "\n## Functions\n"
    forms = [row for row in functions if row[3].startswith(f"{row[1]}() for ")]
    for row in functions:
        if row not in forms:
            # A function may have overloads; each form belongs to the one with the same number of arguments.
            text += function(row, [other for other in forms if (other[1], len(other[5])) == (row[1], len(row[5]))])
    text += "\n## Row types\n"
    for oid, name, comment, check in types:
        if oid:
            text += f"\n### {name}\n\n{paragraph(comment)}\n{columns(connection, oid)}"
    text += "\n## Domains\n\n" + table(["domain", "values", "meaning"], [
        [f"`{name}`", ", ".join(f"`{value}`" for value in re.findall(r"'([^']*)'", check)), comment]
        for oid, name, comment, check in types if not oid])
    return text


def main():
    with psycopg.connect(sys.argv[1] if len(sys.argv) > 1 else "") as connection:
        print(page(connection), end="")


if __name__ == "__main__":
    main()
