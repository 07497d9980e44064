(class_heritage (identifier) @reference)
