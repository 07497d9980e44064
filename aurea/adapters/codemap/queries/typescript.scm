(abstract_class_declaration name: (_) @name body: (_) @body) @definition.type
(interface_declaration name: (_) @name body: (_) @body) @definition.type
(enum_declaration name: (_) @name body: (_) @body) @definition.type
(type_alias_declaration name: (_) @name) @definition.type
(internal_module name: (identifier) @name body: (_) @body) @definition.type
(method_signature name: (property_identifier) @name) @definition.function
(abstract_method_signature name: (property_identifier) @name) @definition.function
(function_signature name: (identifier) @name) @definition.function

(type_identifier) @reference
(extends_clause value: (identifier) @reference)
