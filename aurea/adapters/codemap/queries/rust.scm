(function_item name: (identifier) @name body: (_) @body) @definition.function
(function_signature_item name: (identifier) @name) @definition.function
(struct_item name: (type_identifier) @name body: (_)? @body) @definition.type
(enum_item name: (type_identifier) @name body: (_) @body) @definition.type
(union_item name: (type_identifier) @name body: (_) @body) @definition.type
(trait_item name: (type_identifier) @name body: (_) @body) @definition.type
(impl_item type: (_) @name body: (_) @body) @definition.type
(mod_item name: (identifier) @name body: (_) @body) @definition.type
(type_item name: (type_identifier) @name) @definition.type
(macro_definition name: (identifier) @name) @definition.function
(const_item name: (identifier) @name value: (_) @body) @definition.value
(static_item name: (identifier) @name value: (_) @body) @definition.value

(call_expression function: (identifier) @reference)
(call_expression function: (scoped_identifier name: (identifier) @reference))
(field_expression field: (field_identifier) @reference)
(macro_invocation macro: (identifier) @reference)
(type_identifier) @reference
(use_declaration argument: (scoped_identifier name: (identifier) @reference))
(use_list (identifier) @reference)

(use_declaration argument: (_) @import)
(mod_item name: (identifier) @import !body)
