(function_definition declarator: (function_declarator declarator: (identifier) @name) body: (_) @body) @definition.function
(function_definition declarator: (pointer_declarator declarator: (function_declarator declarator: (identifier) @name)) body: (_) @body) @definition.function
(translation_unit (declaration declarator: (function_declarator declarator: (identifier) @name)) @definition.function)
(translation_unit (declaration declarator: (pointer_declarator declarator: (function_declarator declarator: (identifier) @name))) @definition.function)
(struct_specifier name: (type_identifier) @name body: (_) @body) @definition.type
(union_specifier name: (type_identifier) @name body: (_) @body) @definition.type
(enum_specifier name: (type_identifier) @name body: (_) @body) @definition.type
(type_definition declarator: (type_identifier) @name) @definition.type
(preproc_def name: (identifier) @name value: (_) @body) @definition.value
(preproc_function_def name: (identifier) @name) @definition.function

(call_expression function: (identifier) @reference)
(type_identifier) @reference
(field_expression field: (field_identifier) @reference)

(preproc_include path: (string_literal (string_content) @import))
