"""GLib's own GVariant, as another program (Debian's python3 with python3-gi).

Reads JSON lines from stdin and answers each with one. {"type", "text"}: the bytes, in hex, of the value with that text.
{"type", "bytes"}: whether these bytes are the normal form of a value. GLib's own check lets a few others pass (an empty
tuple that should hold offsets), so the value must also be written as the same bytes again. {"type", "print"}: the text
of the value with these bytes. {"parse"}: type and bytes of the value that this text describes, or null.
"""

import json
import sys

from gi.repository import GLib  # type: ignore[import-not-found,unused-ignore]


def rebuilt(value: GLib.Variant) -> GLib.Variant:
    if not value.is_container():
        return value
    builder = GLib.VariantBuilder.new(value.get_type())
    for i in range(value.n_children()):
        builder.add_value(rebuilt(value.get_child_value(i)))
    return builder.end()


for line in sys.stdin:
    question = json.loads(line)
    if "parse" in question:
        try:
            value = GLib.Variant.parse(None, question["parse"], None, None)
        except GLib.Error:
            print("null")
        else:
            print(json.dumps([value.get_type_string(), value.get_data_as_bytes().get_data().hex()]))
        continue
    kind = GLib.VariantType.new(question["type"])
    if "text" in question:
        value = GLib.Variant.parse(kind, question["text"], None, None)
        answer = value.get_data_as_bytes().get_data().hex()
    elif "print" in question:
        data = GLib.Bytes.new(bytes.fromhex(question["print"]))
        answer = GLib.Variant.new_from_bytes(kind, data, False).print_(True)
    else:
        data = GLib.Bytes.new(bytes.fromhex(question["bytes"]))
        value = GLib.Variant.new_from_bytes(kind, data, False)
        answer = value.is_normal_form()
        if answer:
            answer = rebuilt(value).get_data_as_bytes().get_data() == data.get_data()
    print(json.dumps(answer))
