; @name stands in a definition, @body is what its signature leaves out.
(module (expression_statement (assignment left: (identifier) @name right: (_) @body) @definition.value))
(class_definition name: (identifier) @name body: (block) @body) @definition.type
(function_definition name: (identifier) @name body: (block) @body) @definition.function

(attribute attribute: (identifier) @reference)
(call function: (identifier) @reference)
(decorator (identifier) @reference)
(type (identifier) @reference)
(type (binary_operator (identifier) @reference))
(generic_type (identifier) @reference)
(class_definition superclasses: (argument_list (identifier) @reference))
(import_from_statement name: (dotted_name (identifier) @reference))
(import_from_statement name: (aliased_import name: (dotted_name (identifier) @reference)))

(import_statement name: (dotted_name) @import)
(import_statement name: (aliased_import name: (dotted_name) @import))
(import_from_statement module_name: (_) @import)
(import_from_statement module_name: (_) @import.from name: (dotted_name) @import.name)
