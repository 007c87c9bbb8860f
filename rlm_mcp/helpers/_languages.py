"""The languages whose structure is known: their grammars, and what to look for in their trees.

The grammars are packages of their own that carry the compiled parser; nothing is downloaded. In a
query for definitions `@name` is the name and the other capture, which says the kind, the whole; in
one for calls `@call` is the name that is called; `names` are the kinds of node that a reference is.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Language:
    """A language.

    Args:
        package: that has its grammar.
        function: of that package, which gives it.
        definitions: a query.
        calls: a query.
        names: kinds of node.
    """

    package: str
    definitions: str
    calls: str
    names: tuple[str, ...]
    function: str = "language"


def _named(**kinds: str) -> str:
    """A query for nodes whose field `name` is their name: for each kind, the types of node."""
    return "\n".join(
        f"({node} name: (_) @name) @{kind}"
        for kind, nodes in kinds.items()
        for node in nodes.split()
    )


_JAVASCRIPT = (
    _named(
        function="function_declaration generator_function_declaration",
        method="method_definition",
    )
    + """
(variable_declarator name: (identifier) @name
  value: [(arrow_function) (function_expression)]) @function
(assignment_expression
  left: [(identifier) @name (member_expression property: (property_identifier) @name)]
  right: [(arrow_function) (function_expression)]) @function
(pair key: (property_identifier) @name value: [(arrow_function) (function_expression)]) @method
(program (lexical_declaration (variable_declarator name: (identifier) @name) @constant))
(program (export_statement
  (lexical_declaration (variable_declarator name: (identifier) @name) @constant)))
"""
)
_JAVASCRIPT_CALLS = """
(call_expression function: [
  (identifier) @call (member_expression property: (property_identifier) @call)])
(new_expression constructor: [
  (identifier) @call (member_expression property: (property_identifier) @call)])
"""
_JAVASCRIPT_NAMES = ("identifier", "property_identifier", "shorthand_property_identifier")
_TYPESCRIPT = (
    _JAVASCRIPT
    + _named(
        **{"class": "class_declaration abstract_class_declaration"},
        interface="interface_declaration",
        type="type_alias_declaration",
        enum="enum_declaration",
        module="internal_module",
    )
    + "(function_signature name: (identifier) @name) @function\n"
    + "(method_signature name: (property_identifier) @name) @method"
)
_C = """
(function_definition declarator: (function_declarator declarator: (identifier) @name)) @function
(function_definition declarator: (pointer_declarator
  declarator: (function_declarator declarator: (identifier) @name))) @function
(function_definition declarator: (pointer_declarator declarator: (pointer_declarator
  declarator: (function_declarator declarator: (identifier) @name)))) @function
(struct_specifier name: (type_identifier) @name body: (_)) @struct
(union_specifier name: (type_identifier) @name body: (_)) @union
(enum_specifier name: (type_identifier) @name body: (_)) @enum
(type_definition declarator: (type_identifier) @name) @type
(preproc_def name: (identifier) @name) @macro
(preproc_function_def name: (identifier) @name) @macro
"""
_C_CALLS = """
(call_expression function: [
  (identifier) @call (field_expression field: (field_identifier) @call)])
"""
_C_NAMES = ("identifier", "type_identifier", "field_identifier")
_TYPESCRIPT_NAMES = (*_JAVASCRIPT_NAMES, "type_identifier")

LANGUAGES: dict[str, Language] = {
    "python": Language(
        "tree_sitter_python",
        _named(**{"class": "class_definition"}, function="function_definition")
        + """
(module (expression_statement (assignment left: (identifier) @name) @constant))
""",
        """
(call function: [(identifier) @call (attribute attribute: (identifier) @call)])
(decorator [(identifier) @call (attribute attribute: (identifier) @call)])
""",
        ("identifier",),
    ),
    "javascript": Language(
        "tree_sitter_javascript",
        _JAVASCRIPT + _named(**{"class": "class_declaration"}),
        _JAVASCRIPT_CALLS,
        _JAVASCRIPT_NAMES,
    ),
    "typescript": Language(
        "tree_sitter_typescript", _TYPESCRIPT, _JAVASCRIPT_CALLS, _TYPESCRIPT_NAMES,
        "language_typescript",
    ),
    "tsx": Language(
        "tree_sitter_typescript", _TYPESCRIPT, _JAVASCRIPT_CALLS, _TYPESCRIPT_NAMES, "language_tsx"
    ),
    "go": Language(
        "tree_sitter_go",
        _named(
            function="function_declaration",
            method="method_declaration",
            type="type_spec type_alias",
        )
        + """
(source_file (const_declaration (const_spec name: (identifier) @name) @constant))
(source_file (var_declaration (var_spec name: (identifier) @name) @variable))
""",
        """
(call_expression function: [
  (identifier) @call (selector_expression field: (field_identifier) @call)])
""",
        ("identifier", "type_identifier", "field_identifier"),
    ),
    "rust": Language(
        "tree_sitter_rust",
        _named(
            function="function_item function_signature_item",
            struct="struct_item",
            enum="enum_item",
            union="union_item",
            trait="trait_item",
            module="mod_item",
            type="type_item",
            constant="const_item static_item",
            macro="macro_definition",
        )
        + "(impl_item type: [(type_identifier) @name (generic_type type: (type_identifier) @name)])"
        " @impl",
        """
(call_expression function: [
  (identifier) @call
  (scoped_identifier name: (identifier) @call)
  (field_expression field: (field_identifier) @call)
  (generic_function function: [
    (identifier) @call (scoped_identifier name: (identifier) @call)
    (field_expression field: (field_identifier) @call)])])
(macro_invocation macro: [(identifier) @call (scoped_identifier name: (identifier) @call)])
""",
        ("identifier", "type_identifier", "field_identifier"),
    ),
    "java": Language(
        "tree_sitter_java",
        _named(
            **{"class": "class_declaration record_declaration"},
            interface="interface_declaration annotation_type_declaration",
            enum="enum_declaration",
            method="method_declaration",
            constructor="constructor_declaration",
        )
        + "(field_declaration declarator: (variable_declarator name: (identifier) @name)) @field",
        """
(method_invocation name: (identifier) @call)
(object_creation_expression type: [
  (type_identifier) @call (generic_type (type_identifier) @call)])
""",
        ("identifier", "type_identifier"),
    ),
    "c": Language("tree_sitter_c", _C, _C_CALLS, _C_NAMES),
    "cpp": Language(
        "tree_sitter_cpp",
        _C
        + """
(function_definition declarator: (function_declarator
  declarator: [(field_identifier) (destructor_name) (operator_name)] @name)) @method
(function_definition declarator: (function_declarator
  declarator: (qualified_identifier name: (_) @name))) @method
(function_definition declarator: (reference_declarator (function_declarator
  declarator: [(identifier) (field_identifier) (operator_name)] @name))) @method
(function_definition declarator: (pointer_declarator declarator: (function_declarator
  declarator: [(field_identifier) (qualified_identifier)] @name))) @method
(class_specifier name: (_) @name body: (_)) @class
(namespace_definition name: (_) @name) @module
(alias_declaration name: (type_identifier) @name) @type
""",
        _C_CALLS
        + """
(call_expression function: (qualified_identifier name: (identifier) @call))
(call_expression function: (template_function name: (identifier) @call))
""",
        (*_C_NAMES, "namespace_identifier"),
    ),
    "csharp": Language(
        "tree_sitter_c_sharp",
        _named(
            **{"class": "class_declaration record_declaration"},
            interface="interface_declaration",
            struct="struct_declaration",
            enum="enum_declaration",
            method="method_declaration",
            constructor="constructor_declaration",
            property="property_declaration",
            type="delegate_declaration",
            module="namespace_declaration",
            function="local_function_statement",
        ),
        """
(invocation_expression function: [
  (identifier) @call (generic_name (identifier) @call)
  (member_access_expression name: [(identifier) @call (generic_name (identifier) @call)])])
(object_creation_expression type: [(identifier) @call (generic_name (identifier) @call)])
""",
        ("identifier",),
    ),
    "ruby": Language(
        "tree_sitter_ruby",
        _named(
            **{"class": "class"}, module="module", method="method singleton_method",
        )
        + "(program (assignment left: (constant) @name) @constant)",
        "(call method: [(identifier) (constant)] @call)",
        ("identifier", "constant"),
    ),
    "php": Language(
        "tree_sitter_php",
        _named(
            **{"class": "class_declaration"},
            interface="interface_declaration",
            trait="trait_declaration",
            enum="enum_declaration",
            function="function_definition",
            method="method_declaration",
        ),
        """
(function_call_expression function: [(name) @call (qualified_name (name) @call)])
(member_call_expression name: (name) @call)
(scoped_call_expression name: (name) @call)
(object_creation_expression [(name) @call (qualified_name (name) @call)])
""",
        ("name",),
        "language_php",
    ),
    "kotlin": Language(
        "tree_sitter_kotlin",
        _named(
            **{"class": "class_declaration object_declaration"}, function="function_declaration"
        )
        + "(type_alias type: (identifier) @name) @type",
        """
(call_expression . [(identifier) @call (navigation_expression (identifier) @call .)])
""",
        ("identifier",),
    ),
    "swift": Language(
        "tree_sitter_swift",
        _named(
            **{"class": "class_declaration"},
            protocol="protocol_declaration",
            type="typealias_declaration",
        )
        + """
([(function_declaration name: (simple_identifier) @name)
  (protocol_function_declaration name: (simple_identifier) @name)] @function)
""",
        """
(call_expression . [
  (simple_identifier) @call
  (navigation_expression suffix: (navigation_suffix suffix: (simple_identifier) @call))])
""",
        ("simple_identifier", "type_identifier"),
    ),
    "scala": Language(
        "tree_sitter_scala",
        _named(
            **{"class": "class_definition object_definition"},
            trait="trait_definition",
            enum="enum_definition",
            function="function_definition function_declaration",
            type="type_definition",
        ),
        """
(call_expression function: [
  (identifier) @call (field_expression field: (identifier) @call)
  (generic_function function: (identifier) @call)])
""",
        ("identifier", "type_identifier"),
    ),
    "lua": Language(
        "tree_sitter_lua",
        """
(function_declaration name: [
  (identifier) @name (dot_index_expression field: (identifier) @name)
  (method_index_expression method: (identifier) @name)]) @function
""",
        """
(function_call name: [
  (identifier) @call (dot_index_expression field: (identifier) @call)
  (method_index_expression method: (identifier) @call)])
""",
        ("identifier",),
    ),
    "bash": Language(
        "tree_sitter_bash",
        _named(function="function_definition"),
        "(command name: (command_name (word) @call))",
        ("variable_name",),
    ),
}  # fmt: skip
