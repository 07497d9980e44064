(function_declaration name: (identifier) @name body: (_)? @body) @definition.function
(method_declaration name: (field_identifier) @name body: (_)? @body) @definition.function
(type_declaration (type_spec name: (type_identifier) @name type: (struct_type (field_declaration_list) @body))) @definition.type
(type_declaration (type_spec name: (type_identifier) @name type: [(interface_type) (map_type) (function_type) (type_identifier) (slice_type) (pointer_type) (array_type) (channel_type) (qualified_type)])) @definition.type
(source_file (const_declaration (const_spec name: (identifier) @name) @definition.value))
(source_file (var_declaration (var_spec name: (identifier) @name) @definition.value))

(call_expression function: (identifier) @reference)
(selector_expression field: (field_identifier) @reference)
(type_identifier) @reference

(import_spec path: (interpreted_string_literal) @import)
