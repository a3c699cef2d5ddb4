"""What the admins and WTForms share: the changes of a form, and the names in an export."""
