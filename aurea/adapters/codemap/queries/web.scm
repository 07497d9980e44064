; What JavaScript and TypeScript share.
(program (lexical_declaration (variable_declarator name: (identifier) @name value: (_) @body)) @definition.value)
(program (export_statement (lexical_declaration (variable_declarator name: (identifier) @name value: (_) @body))) @definition.value)
(function_declaration name: (identifier) @name body: (_) @body) @definition.function
(generator_function_declaration name: (identifier) @name body: (_) @body) @definition.function
(class_declaration name: (_) @name body: (_) @body) @definition.type
(method_definition name: (property_identifier) @name body: (_) @body) @definition.function
(variable_declarator name: (identifier) @name value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)]) @definition.function
(assignment_expression left: (member_expression property: (property_identifier) @name) right: [(arrow_function body: (_) @body) (function_expression body: (_) @body)]) @definition.function

(call_expression function: (identifier) @reference)
(member_expression property: (property_identifier) @reference)
(new_expression constructor: (identifier) @reference)
(import_specifier name: (identifier) @reference)
(import_clause (identifier) @reference)

(import_statement source: (string (string_fragment) @import))
(export_statement source: (string (string_fragment) @import))
(call_expression function: (identifier) @_require arguments: (arguments (string (string_fragment) @import)) (#eq? @_require "require"))
